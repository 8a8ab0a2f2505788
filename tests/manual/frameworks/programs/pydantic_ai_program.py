"""pydantic-ai 2.66.0 with its own instrumentation.

    pip install "pydantic-ai-slim[openai]==2.66.0" opentelemetry-exporter-otlp-proto-http

A planner asks a weather agent through a tool, and one of its tools fails once. One run is streamed
while another is under way; a third one fails.
"""

import asyncio
import os

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from pydantic_ai import Agent, ModelRetry
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
Agent.instrument_all()

client = OpenAIProvider(base_url=os.environ["MODEL_URL"], api_key="none")
model = OpenAIChatModel("gpt-5.4", provider=client)
weather = Agent(model, name="weather")
planner = Agent(model, name="planner")


@weather.tool_plain
def forecast(city: str) -> str:
    return "sunny"


@planner.tool_plain
async def ask_weather(question: str) -> str:
    return (await weather.run(question)).output


@planner.tool_plain
def book(n: int) -> str:
    raise ModelRetry("no room")


async def stream(prompt: str) -> None:
    async with planner.run_stream(prompt) as result:
        async for _ in result.stream_text():
            pass


async def main() -> None:
    await asyncio.gather(planner.run("a trip"), stream("another trip"))
    try:
        await weather.run("FAILS")
    except ModelHTTPError as error:
        print(type(error).__name__)


asyncio.run(main())
provider.shutdown()

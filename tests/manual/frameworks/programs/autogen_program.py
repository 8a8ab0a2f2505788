"""AutoGen 0.7.5 with its own spans and OpenInference's of the model's client.

    pip install autogen-agentchat==0.7.5 "autogen-ext[openai]==0.7.5" \
        openinference-instrumentation-openai opentelemetry-exporter-otlp-proto-http

Two teams at the same time, each of two agents with a tool, one of which fails, and an agent alone
whose model fails. AutoGen reports no calls of models.
"""

import asyncio
import os

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_ext.models.openai import OpenAIChatCompletionClient
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
OpenAIInstrumentor().instrument()

model = OpenAIChatCompletionClient(model="gpt-4o", base_url=os.environ["MODEL_URL"], api_key="none")


async def forecast(city: str) -> str:
    """Return the weather."""
    return "sunny"


async def book(n: int) -> str:
    """Book a room."""
    raise ValueError("no room")


async def plan(stream: bool) -> None:
    options = {"max_tool_iterations": 3, "model_client_stream": stream}
    weather = AssistantAgent("weather", model, tools=[forecast], **options)
    planner = AssistantAgent("planner", model, tools=[book], **options)
    team = RoundRobinGroupChat([weather, planner], termination_condition=MaxMessageTermination(3))
    await team.run(task="a trip")


async def main() -> None:
    await asyncio.gather(plan(False), plan(True))
    try:
        await AssistantAgent("alone", model).run(task="FAILS")
    except Exception as error:
        print(type(error).__name__)


asyncio.run(main())
provider.shutdown()

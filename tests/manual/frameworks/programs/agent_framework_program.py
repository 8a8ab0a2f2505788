"""Microsoft Agent Framework 1.23.0 with its own instrumentation.

    pip install agent-framework-core==1.23.0 agent-framework-openai \
        opentelemetry-exporter-otlp-proto-http

A planner asks a weather agent through a tool, and one of its tools fails. Two runs at the same
time, one of them streamed; a third one fails. Then a workflow of two agents.
"""

import asyncio
import os

from agent_framework import Agent, WorkflowBuilder, tool
from agent_framework.observability import enable_instrumentation
from agent_framework.openai import OpenAIChatCompletionClient
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
enable_instrumentation()

model = OpenAIChatCompletionClient(
    model="gpt-5.4", base_url=os.environ["MODEL_URL"], api_key="none"
)


@tool
def forecast(city: str) -> str:
    """Return the weather."""
    return "sunny"


@tool
def book(n: int) -> str:
    """Book a room."""
    raise ValueError("no room")


def make_planner() -> Agent:
    weather = Agent(model, name="weather", tools=[forecast])
    return Agent(model, name="planner", tools=[weather.as_tool(), book])


async def stream() -> None:
    planner = make_planner()
    async for _ in planner.run("another trip", stream=True, session=planner.create_session()):
        pass


async def main() -> None:
    await asyncio.gather(make_planner().run("a trip"), stream())
    try:
        await Agent(model, name="alone").run("FAILS")
    except Exception as error:
        print(type(error).__name__)
    writer, editor = Agent(model, name="writer"), Agent(model, name="editor")
    workflow = WorkflowBuilder(start_executor=writer).add_edge(writer, editor).build()
    await workflow.run("a text")


asyncio.run(main())
provider.shutdown()

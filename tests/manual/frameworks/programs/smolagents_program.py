"""smolagents 1.26.0 with OpenInference 0.1.43.

    pip install smolagents==1.26.0 openai openinference-instrumentation-smolagents==0.1.43 \
        openinference-instrumentation-openai opentelemetry-exporter-otlp-proto-http

A planner with a managed agent, each with a tool; two conversations in threads, one of them
streamed, and a run that fails. The model's client is instrumented, too, and its spans repeat the
tokens.
"""

import os
import threading

from openinference.instrumentation.openai import OpenAIInstrumentor
from openinference.instrumentation.smolagents import SmolagentsInstrumentor
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from smolagents import OpenAIServerModel, ToolCallingAgent, tool

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
SmolagentsInstrumentor().instrument()
OpenAIInstrumentor().instrument()

model = OpenAIServerModel(model_id="gpt-5.4", api_base=os.environ["MODEL_URL"], api_key="none")


@tool
def forecast(city: str) -> str:
    """Return the weather.

    Args:
        city: the city
    """
    return "sunny"


def make_planner() -> ToolCallingAgent:
    weather = ToolCallingAgent(
        tools=[forecast], model=model, name="weather", description="knows the weather"
    )
    return ToolCallingAgent(
        tools=[forecast], model=model, managed_agents=[weather], name="planner", max_steps=6
    )


def plan(stream: bool) -> None:
    run = make_planner().run("a trip", stream=stream)
    if stream:
        for _ in run:
            pass


threads = [threading.Thread(target=plan, args=(stream,)) for stream in (False, True)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
try:
    make_planner().run("FAILS")
except Exception as error:
    print(type(error).__name__)
provider.shutdown()

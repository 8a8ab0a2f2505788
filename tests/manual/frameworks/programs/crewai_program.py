"""CrewAI 1.15.30 with OpenInference 1.1.21, or with OpenLLMetry 0.62.4 (VARIANT=traceloop).

    pip install crewai==1.15.30 openinference-instrumentation-crewai \
        openinference-instrumentation-openai opentelemetry-instrumentation-crewai \
        opentelemetry-instrumentation-openai opentelemetry-exporter-otlp-proto-http

A crew of two agents, each with a task and a tool; one tool fails, which CrewAI handles. Two crews
in threads, and one whose model fails. CrewAI's instrumentations report no calls of models, those of
the client do.
"""

import os
import threading

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
if os.environ["VARIANT"] == "traceloop":
    from opentelemetry.instrumentation.crewai import CrewAIInstrumentor
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

else:
    from openinference.instrumentation.crewai import CrewAIInstrumentor
    from openinference.instrumentation.openai import OpenAIInstrumentor
CrewAIInstrumentor().instrument()
OpenAIInstrumentor().instrument()

model = LLM(model="openai/gpt-5.4", base_url=os.environ["MODEL_URL"], api_key="none")


@tool("forecast")
def forecast(city: str) -> str:
    """Return the weather."""
    return "sunny"


@tool("book")
def book(n: int) -> str:
    """Book a room."""
    raise ValueError("no room")


def plan(prompt: str) -> None:
    common = {"goal": "a plan", "backstory": "none", "llm": model, "max_iter": 4}
    weather = Agent(role="weather", tools=[forecast], **common)
    planner = Agent(role="planner", tools=[book], **common)
    tasks = [
        Task(description=prompt, expected_output="a text", agent=agent)
        for agent in (weather, planner)
    ]
    Crew(agents=[weather, planner], tasks=tasks, name="trip").kickoff()


threads = [threading.Thread(target=plan, args=("a trip",)) for _ in range(2)]
for each in threads:
    each.start()
for each in threads:
    each.join()
try:
    plan("FAILS")
except Exception as error:
    print(type(error).__name__)
provider.shutdown()

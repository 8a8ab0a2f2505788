"""LangGraph 1.2.24 with OpenInference 0.1.80, or with OpenLLMetry 0.62.4 (VARIANT=traceloop).

    pip install langgraph==1.2.24 langchain==1.5.2 langchain-openai \
        openinference-instrumentation-langchain opentelemetry-instrumentation-langchain \
        opentelemetry-exporter-otlp-proto-http

A planner asks a weather agent through a tool, and one of its tools fails, which it handles. Two
threads at the same time, one of them streamed; a third one fails. Then a plain graph without a
thread, whose node is a graph.
"""

import os
import threading

from langchain.agents import create_agent
from langchain_core.tools import ToolException, tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
if os.environ["VARIANT"] == "traceloop":
    from opentelemetry.instrumentation.langchain import LangchainInstrumentor

    LangchainInstrumentor().instrument()
else:
    from openinference.instrumentation.langchain import LangChainInstrumentor

    LangChainInstrumentor().instrument()

model = ChatOpenAI(model="gpt-5.4", base_url=os.environ["MODEL_URL"], api_key="none")


@tool
def forecast(city: str) -> str:
    """Return the weather."""
    return "sunny"


def book(n: int) -> str:
    """Book a room."""
    raise ToolException("no room")


weather = create_agent(model, [forecast], name="weather")


@tool
def ask_weather(question: str) -> str:
    """Ask the weather agent."""
    return weather.invoke({"messages": [("user", question)]})["messages"][-1].content


booking = tool(book)
booking.handle_tool_error = True
planner = create_agent(model, [ask_weather, booking], name="planner")


def plan(thread: str, stream: bool) -> None:
    config = {"configurable": {"thread_id": thread}}
    if stream:
        for _ in planner.stream({"messages": [("user", "a trip")]}, config):
            pass
    else:
        planner.invoke({"messages": [("user", "a trip")]}, config)


threads = [
    threading.Thread(target=plan, args=(name, stream))
    for name, stream in (("thread-1", False), ("thread-2", True))
]
for each in threads:
    each.start()
for each in threads:
    each.join()
try:
    weather.invoke({"messages": [("user", "FAILS")]}, {"configurable": {"thread_id": "thread-3"}})
except Exception as error:
    print(type(error).__name__)

inner = StateGraph(MessagesState)
inner.add_node("answer", lambda state: {"messages": [model.invoke(state["messages"])]})
inner.add_edge(START, "answer")
inner.add_edge("answer", END)
outer = StateGraph(MessagesState)
outer.add_node("research", inner.compile(name="research"))
outer.add_edge(START, "research")
outer.add_edge("research", END)
outer.compile(name="writer").invoke({"messages": [("user", "a text")]})
provider.shutdown()

"""OTLP over HTTP: decoding of telemetry exports and encoding of the responses."""

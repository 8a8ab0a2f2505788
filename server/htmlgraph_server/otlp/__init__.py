"""OTLP/HTTP: what agents' own telemetry sends, decoded and answered."""

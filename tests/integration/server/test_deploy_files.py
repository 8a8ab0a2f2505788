"""The files in ``server/deploy`` name what exists: settings, programs, parts of each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from htmlgraph_server.config import SETTINGS
from tests.helpers.paths import ROOT

DEPLOY = ROOT / "server/deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
VARIABLES = {setting.variable for setting in SETTINGS} | {"HTMLGRAPH_HOME", "HTMLGRAPH_URL"}
FLAGS = {setting.flag for setting in SETTINGS}


def read(name: str) -> str:
    """Return the text of a file."""
    return (DEPLOY / name).read_text()


def compose() -> dict[str, Any]:
    """Return the compose file."""
    found: dict[str, Any] = yaml.safe_load(read("compose/compose.yaml"))
    return found


def manifests() -> dict[str, dict[str, Any]]:
    """Return the objects of the Kubernetes file by kind."""
    documents = yaml.safe_load_all(read("kubernetes/htmlgraph-nb.yaml"))
    return {document["kind"]: document for document in documents}


@pytest.mark.parametrize(
    "path", sorted(path for path in DEPLOY.rglob("*") if path.is_file()), ids=lambda path: path.name
)
def test_deploy_files_name_settings_that_exist(path: Path) -> None:
    """Also in comments."""
    text = path.read_text()
    assert set(re.findall(r"\bHTMLGRAPH_[A-Z_]+", text)) <= VARIABLES
    commands = re.findall(r"htmlgraph-nb[\", ]+serve\b([^\n]*)", text)
    assert {flag for rest in commands for flag in re.findall(r"--[a-z-]+", rest)} <= FLAGS


def test_compose_variables_are_in_the_example() -> None:
    """Each variable without a default is one of ``example.env``."""
    wanted = set(re.findall(r"\$\{([A-Z_]+)", read("compose/compose.yaml")))
    given = re.findall(r"^([A-Z_]+)=", read("compose/example.env"), re.M)
    assert wanted == set(given)


def test_compose_services_fit_together() -> None:
    """Hosts in addresses, mounted files, health checks and volumes exist."""
    found = compose()
    services = found["services"]
    servers = [name for name in services if name.startswith("server-")]
    assert len(servers) == 2
    upstream = re.findall(r"server (\S+):8000", read("compose/nginx.conf"))
    assert upstream == servers == services["balancer"]["depends_on"]
    for name in servers:
        hosts = re.search(r"@([^/]+)/", services[name]["environment"]["HTMLGRAPH_DB"])
        assert hosts is not None
        assert set(hosts[1].split(",")) <= set(services)
    for service in services.values():
        for volume in service.get("volumes", ()):
            source, _, _target = volume.partition(":")
            if source.startswith("./"):
                assert (DEPLOY / "compose" / source).is_file()
            else:
                assert source in found["volumes"]
        for name in service.get("depends_on", ()):
            assert name in services
    build = services[servers[0]]["build"]
    assert (DEPLOY / "compose" / build["context"] / build["dockerfile"]).resolve().is_file()
    assert (DEPLOY / "compose" / build["context"] / "pyproject.toml").is_file()


@pytest.mark.parametrize("name", ["primary.sh", "standby.sh"])
def test_compose_scripts_are_valid_shell(name: str) -> None:
    """As ``sh`` parses them."""
    script = DEPLOY / "compose" / name
    assert subprocess.run(["sh", "-n", str(script)], check=False).returncode == 0


def test_kubernetes_objects_fit_together() -> None:
    """Labels, ports, the secret's keys and the service that the ingress names."""
    found = manifests()
    assert set(found) == {"Deployment", "Service", "PodDisruptionBudget", "Ingress"}
    deployment = found["Deployment"]["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    (container,) = deployment["template"]["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert container["command"][-2:] == ["--port", str(ports["http"])]
    (port,) = found["Service"]["spec"]["ports"]
    assert port["targetPort"] in ports
    (rule,) = found["Ingress"]["spec"]["rules"]
    backend = rule["http"]["paths"][0]["backend"]["service"]
    assert backend == {
        "name": found["Service"]["metadata"]["name"],
        "port": {"name": port["name"]},
    }
    secrets = [
        item["valueFrom"]["secretKeyRef"] for item in container["env"] if "valueFrom" in item
    ]
    for secret in secrets:
        assert f"--from-literal={secret['key']}=" in read("kubernetes/htmlgraph-nb.yaml")
        assert secret["name"] == found["Deployment"]["metadata"]["name"]
    volumes = {volume["name"] for volume in deployment["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_unit_starts_the_server(path: Path) -> None:
    """The restart, the program and the folder of its settings."""
    unit = ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(path)
    service = unit["Service"]
    assert service["ExecStart"] == "%h/.local/bin/htmlgraph-nb serve"
    assert service["EnvironmentFile"].lstrip("-") == "%h/.config/htmlgraph-nb/environment"
    assert service["Restart"] == "on-failure"
    assert unit["Install"]["WantedBy"] == "default.target"
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(
            ["systemd-analyze", "verify", "--user", "--man=no", str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
        problems = [
            line
            for line in checked.stderr.splitlines()
            if path.name in line and "is not executable" not in line
        ]
        assert problems == []


def test_jupyterhub_config_is_the_one_of_the_documentation() -> None:
    """It is valid Python, and sets what it should."""
    text = read("jupyterhub/jupyterhub_config.py")
    documented = re.search(
        r'```python\n(scopes = \["custom.*?)```', (ROOT / "server/DEPLOYMENT.md").read_text(), re.S
    )
    assert documented is not None
    assert documented[1] in text
    hub, spawner = SimpleNamespace(), SimpleNamespace()
    config = SimpleNamespace(JupyterHub=hub, Spawner=spawner)
    exec(compile(text, "jupyterhub_config.py", "exec"), {"get_config": lambda: config})
    (service,) = hub.services
    assert service["command"] == ["htmlgraph-nb", "serve", "--jupyterhub"]
    assert set(service["oauth_client_allowed_scopes"]) == set(hub.custom_scopes)
    assert spawner.environment["HTMLGRAPH_URL"].endswith(f"/services/{service['name']}")

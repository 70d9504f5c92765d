"""The files for the deployment of a server: unit files, a crontab, the proxy, alerts.

In a checkout they are in scripts/deploy; the wheel has them in this package.
"""

from __future__ import annotations

from pathlib import Path

DEPLOY_FILES = {
    "scaiwave-web.service": "systemd unit of the web server",
    "scaiwave-worker.service": "systemd unit of a worker",
    "scaiwave-scheduler.service": "systemd unit of the scheduler",
    "scaiwave-backup.service": "systemd unit of a backup",
    "scaiwave-backup.timer": "systemd timer that backs up every night",
    "crontab": "schedule of a server without Redis",
    "Dockerfile": "image of the suite",
    "compose.yaml": "a server in containers, for Docker Compose",
    "nginx.conf": "site of nginx, the reverse proxy",
    "prometheus-alerts.yml": "alert rules of Prometheus",
    "grafana-dashboard.json": "dashboard of Grafana",
}
"""What each file is, by name."""

_PACKAGE = Path(__file__).resolve().parents[1]
_DIRECTORIES = (_PACKAGE / "deploy", _PACKAGE.parent / "scripts" / "deploy")


def read_deploy_file(name: str) -> str:
    """Return the text of a file of `DEPLOY_FILES`."""
    path = next(path for path in _DIRECTORIES if path.is_dir()) / name
    return path.read_text(encoding="utf-8")

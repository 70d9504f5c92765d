"""The WSGI application, for gunicorn: `gunicorn --config python:scaiwave.web.gunicorn_config`."""

import os

from django.core.wsgi import get_wsgi_application

from scaiwave.web import require_web_libraries

require_web_libraries()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "scaiwave.settings")
application = get_wsgi_application()

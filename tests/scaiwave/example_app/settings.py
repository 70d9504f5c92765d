from scaiwave.settings import *  # noqa: F403
from scaiwave.settings import INSTALLED_APPS as _APPS

# Of apps with the same command, Django uses the first one.
INSTALLED_APPS = ["tests.scaiwave.example_app", *_APPS]

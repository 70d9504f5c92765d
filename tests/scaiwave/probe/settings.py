from scaiwave.settings import *  # noqa: F403
from scaiwave.settings import INSTALLED_APPS as _APPS

# The first application that has a command gives it.
INSTALLED_APPS = ["tests.scaiwave.probe", *_APPS]

"""The operator suite of the ScaiWave chat platform: kernel, settings and command line."""

__version__ = "0.4.0.dev0"

"""Former paths of classes that a settings file or a unit outside of the suite may name."""

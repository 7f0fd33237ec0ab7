"""The packaged configurations, one YAML file a use."""

"""CloudWatch's alarms: evaluated each minute over the figures that there are."""

"""EventBridge, as far as kirikae local fires it: moto keeps schedules and rules, they fire here."""

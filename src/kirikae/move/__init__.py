"""The one state machine by which everything moves; it knows no AWS."""

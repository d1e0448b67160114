"""People command moves and releases from Slack: signed requests in, questions and answers out."""

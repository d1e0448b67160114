"""Jobs: what a crontab means, and when it runs."""

"""Every command on a host: through the user's own OpenSSH client, with the user's own
configuration, agents and jump hosts."""

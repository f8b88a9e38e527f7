"""The daemon as a service of its user: of systemd, of launchd, or of neither."""

"""The Claude side: the WebSocket door and its sessions."""

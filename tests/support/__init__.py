"""What tests share: servers, clients, agents, databases, and how to wait."""

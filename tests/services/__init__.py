"""Programs that the system tests put behind the tunnel. None of them knows that there is a tunnel."""

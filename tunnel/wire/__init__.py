"""What both sides write on a link: JSON envelopes and payloads, and the routing header of a stream."""

"""`make bench`: what the tunnel costs, as ratios against peers measured in the same run. Asserts no timing."""

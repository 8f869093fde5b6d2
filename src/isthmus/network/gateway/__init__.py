"""The role `isthmus gateway`: one end of the tunnel to one peer, with routes, translation and liveness."""

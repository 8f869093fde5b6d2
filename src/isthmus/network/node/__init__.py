"""The role `isthmus node`: on every real node, the overlay to the gateways, its routes and its nftables."""

"""What the kernel is to do with packets: desired state as values, and bringing a host to it.

The pure modules say what is wanted (`state`, `overlay`, `hops`, `user_routes`, `user_firewall`) and read what is
there (`routes`, `links`); `apply` compares the two and changes only what differs, by `ip`, `nft` and `wg`; `keeper`
does so again whenever the kernel says that something of ours changed, and every 30 s. Who runs it are the roles
`isthmus node` and `isthmus gateway`.
"""

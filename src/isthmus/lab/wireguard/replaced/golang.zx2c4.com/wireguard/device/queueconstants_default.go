// How long the queues of userspace WireGuard are: instead of the library's own file, as there is no other way to
// set them. All below `replaced` is put over the modules by lab/binaries.py and Containerfile.
//
// Every packet in a queue is held in a buffer of 64 KiB, and an entry of a queue has up to 128 packets. With the
// library's 1024 entries one TCP connection, which fills whatever queue there is, has 130 to 330 MB in them. Eight are
// enough to keep as many cores busy, and what finds no room waits in the kernel, as packets of their own size.
// Measured in docs/benchmarks.md.
package device

import "golang.zx2c4.com/wireguard/conn"

const (
	QueueStagedSize            = conn.IdealBatchSize
	QueueOutboundSize          = 8
	QueueInboundSize           = 8
	QueueHandshakeSize         = 1024
	MaxSegmentSize             = (1 << 16) - 1
	PreallocatedBuffersPerPool = 0
)

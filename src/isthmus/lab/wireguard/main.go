// Userspace WireGuard for kernels that have none: one device, in the foreground, until it is told to end.
//
// `wireguard-go -f NAME`, as upstream has it. `wg` talks to it over /var/run/wireguard/NAME.sock. It keeps no state:
// whoever starts it configures it.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/ipc"
	"golang.zx2c4.com/wireguard/tun"
)

// How often memory that was needed for traffic is given back. Go by itself still has all of it a minute later.
const giveBack = 30 * time.Second

func fail(what string, err error) {
	fmt.Fprintf(os.Stderr, "wireguard-go: %s: %v\n", what, err)
	os.Exit(1)
}

func main() {
	if len(os.Args) != 3 || os.Args[1] != "-f" {
		fmt.Fprintln(os.Stderr, "usage: wireguard-go -f INTERFACE")
		os.Exit(2)
	}
	name := os.Args[2]
	// The other half is for the softirqs and for the pods that talk: a sixth less CPU a byte on two cores.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(max(1, runtime.NumCPU()/2))
	}
	link, err := tun.CreateTUN(name, device.DefaultMTU)
	if err != nil {
		fail("the TUN device cannot be made", err)
	}
	logger := device.NewLogger(device.LogLevelError, "wireguard-go: ")
	wireguard := device.NewDevice(link, conn.NewDefaultBind(), logger)
	file, err := ipc.UAPIOpen(name)
	if err != nil {
		fail("the control socket cannot be made", err)
	}
	control, err := ipc.UAPIListen(name, file)
	if err != nil {
		fail("the control socket cannot be listened on", err)
	}
	ended := make(chan error, 1)
	go func() {
		for {
			connection, err := control.Accept()
			if err != nil {
				ended <- err
				return
			}
			go wireguard.IpcHandle(connection)
		}
	}()
	go func() {
		for range time.Tick(giveBack) {
			debug.FreeOSMemory()
		}
	}()
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-signals:
	case <-ended:
	case <-wireguard.Wait():
	}
	control.Close()
	wireguard.Close()
}

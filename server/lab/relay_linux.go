package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A relay carries Ethernet frames between a port and a tap device, those to the
// port late. Both ends speak of checksums and segments that are still to be
// made in the same header (virtio_net_hdr), which goes along untouched.
type relay struct {
	tap, port *os.File
	late      chan frame
}

// A frame is due at the port at a time.
type frame struct {
	due  time.Time
	data []byte
}

const (
	// maxFrame is the largest segment that the kernel hands over, with headers.
	maxFrame = 64<<10 + 256
	// relayQueue is how many frames may be under way; more are lost, as on a
	// real line.
	relayQueue = 100_000
)

// newRelay makes the tap device in the network namespace of the file and starts
// to relay.
func newRelay(netns, port, tap string, d time.Duration) (*relay, error) {
	r := &relay{late: make(chan frame, relayQueue)}
	err := withNetwork(netns, func() (err error) {
		if r.tap, err = openTap(tap); err != nil {
			return fmt.Errorf("tap device: %w", err)
		}
		if r.port, err = openPort(port); err != nil {
			return errors.Join(fmt.Errorf("packet socket: %w", err), r.tap.Close())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// Each goroutine ends with an error of the files when they are closed.
	go r.inward(d)
	go r.deliver()
	go r.outward()
	return r, nil
}

func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

func openPort(name string) (*os.File, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	// With protocol 0 it hears nothing before it is bound to the port.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL}) // in network order
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Index}))
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), name), nil
}

// inward takes frames to the server from the bridge and notes when they are due.
func (r *relay) inward(d time.Duration) {
	defer close(r.late)
	buffer := make([]byte, maxFrame)
	for {
		n, err := r.tap.Read(buffer)
		if err != nil {
			return
		}
		select {
		case r.late <- frame{time.Now().Add(d), append([]byte(nil), buffer[:n]...)}:
		default:
		}
	}
}

// deliver gives frames to the server when they are due.
func (r *relay) deliver() {
	for f := range r.late {
		time.Sleep(time.Until(f.due))
		// A frame that cannot be sent is lost, as on a real line.
		_, _ = r.port.Write(f.data)
	}
}

// outward carries frames from the server to the bridge at once.
func (r *relay) outward() {
	buffer := make([]byte, maxFrame)
	for {
		n, err := r.port.Read(buffer)
		if err != nil {
			return
		}
		_, _ = r.tap.Write(buffer[:n])
	}
}

// close ends the relay and removes its tap device.
func (r *relay) close() error { return errors.Join(r.tap.Close(), r.port.Close()) }

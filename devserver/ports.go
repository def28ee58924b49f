package main

import (
	"fmt"
	"net"
	"strconv"
)

const (
	loopback = "127.0.0.1"
	maxPort  = 65535
)

// resolvePorts fills in the ports that no flag gave and makes sure that every
// one can be listened on. The error names the port and its flag.
func (o *options) resolvePorts() error {
	if !o.headless && o.uiPort == 0 {
		o.uiPort = min(o.port+1000, maxPort)
	}
	for _, wanted := range []struct {
		flag, ip string
		port     int
	}{
		{"port", o.ip, o.port},
		{"http-port", o.ip, o.httpPort},
		{"ui-port", o.uiIP, o.uiPort},
		{"metrics-port", o.ip, o.metricsPort},
	} {
		if wanted.port == 0 && wanted.flag != "port" || wanted.flag == "ui-port" && o.headless {
			continue
		}
		if err := checkPort(wanted.ip, wanted.port); err != nil {
			return fmt.Errorf("port %d on %s cannot be used: %w; choose another with --%s",
				wanted.port, wanted.ip, err, wanted.flag)
		}
	}
	if o.httpPort != 0 {
		return nil
	}
	ports, err := freePorts(o.ip, 1)
	if err == nil {
		o.httpPort = ports[0]
	}
	return err
}

func checkPort(ip string, port int) error {
	if port < 1 || port > maxPort {
		return fmt.Errorf("a port is a number from 1 to %d", maxPort)
	}
	listener, err := net.Listen("tcp", address(ip, port))
	if err != nil {
		return fmt.Errorf("it is taken or not ours (%w)", unwrapAll(err))
	}
	return listener.Close()
}

func unwrapAll(err error) error {
	for {
		inner, ok := err.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			return err
		}
		err = inner.Unwrap()
	}
}

// freePorts returns n different ports that nobody listens on. Each has held
// one connection, closed from our side: while that lingers in TIME_WAIT, the
// kernel hands the port to nobody who asks for any free one, and we can still
// listen on it.
func freePorts(ip string, n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		listener, err := net.Listen("tcp", address(ip, 0))
		if err != nil {
			return nil, fmt.Errorf("no free port on %s: %w", ip, err)
		}
		defer listener.Close()
		port := listener.Addr().(*net.TCPAddr).Port
		ports = append(ports, port)
		linger(listener, address(reachable(ip), port))
	}
	return ports, nil
}

func linger(listener net.Listener, target string) {
	client, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer client.Close()
	if accepted, err := listener.Accept(); err == nil {
		accepted.Close()
	}
}

func address(ip string, port int) string {
	return net.JoinHostPort(ip, strconv.Itoa(port))
}

// reachable is where a service bound to ip answers: loopback for "any address".
func reachable(ip string) string {
	parsed := net.ParseIP(ip)
	switch {
	case !parsed.IsUnspecified():
		return ip
	case parsed.To4() != nil:
		return loopback
	default:
		return "::1"
	}
}

// bracketed is ip as it stands in a URL.
func bracketed(ip string) string {
	if net.ParseIP(ip).To4() == nil {
		return "[" + ip + "]"
	}
	return ip
}

package main

import (
	"os"
	"time"
)

const parentPoll = 200 * time.Millisecond

// parentExit returns a channel that closes when the parent process is gone; it
// never does where that was not asked for. Our parent changes then, since an
// orphan is adopted. (Linux's parent-death signal follows the thread that
// started us, not the process, so it is not used.)
func parentExit(wanted parentFlag) <-chan struct{} {
	gone := make(chan struct{})
	if !wanted.set {
		return gone
	}
	parent := wanted.pid
	if parent == 0 {
		parent = os.Getppid()
	}
	go func() {
		for os.Getppid() == parent {
			time.Sleep(parentPoll)
		}
		close(gone)
	}()
	return gone
}

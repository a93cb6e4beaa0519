package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// attach gives the file a free loop device and opens it. The device frees itself when its last
// user is gone, so a node that is killed leaves nothing attached; the caller closes the device
// when it is mounted.
func attach(path string) (*os.File, error) {
	backing, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer backing.Close()
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	for {
		number, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return nil, fmt.Errorf("no free loop device: %w", err)
		}
		device, err := open(number)
		if err != nil {
			return nil, err
		}
		config := unix.LoopConfig{Fd: uint32(backing.Fd())}
		config.Info.Flags = unix.LO_FLAGS_AUTOCLEAR
		copy(config.Info.File_name[:], filepath.Base(path))
		err = unix.IoctlLoopConfigure(int(device.Fd()), &config)
		if err == nil {
			return device, nil
		}
		device.Close()
		// Another node took the same free device in between.
		if !errors.Is(err, unix.EBUSY) {
			return nil, fmt.Errorf("cannot attach %s to %s: %w", path, device.Name(), err)
		}
	}
}

// open opens a loop device, whose file may not be there yet where nothing makes device files.
func open(number int) (*os.File, error) {
	path := fmt.Sprintf("/dev/loop%d", number)
	device, err := os.OpenFile(path, os.O_RDWR, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return device, err
	}
	const loopMajor = 7
	err = unix.Mknod(path, unix.S_IFBLK|0o660, int(unix.Mkdev(loopMajor, uint32(number))))
	if err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR, 0)
}

// grow lets an attached device see that its file has grown.
func grow(device string) error {
	file, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return unix.IoctlSetInt(int(file.Fd()), unix.LOOP_SET_CAPACITY, 0)
}

// loopOf is the loop device that a file is attached to, of whichever node; empty when there is
// none.
func loopOf(path string) (string, error) {
	files, err := filepath.Glob("/sys/block/loop*/loop/backing_file")
	if err != nil {
		return "", err
	}
	for _, file := range files {
		backing, err := os.ReadFile(file)
		// A device may go away between being listed and being read.
		if err == nil && strings.TrimSpace(string(backing)) == path {
			return "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(file))), nil
		}
	}
	return "", nil
}

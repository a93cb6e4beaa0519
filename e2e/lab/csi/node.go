package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// nodeServer mounts volumes on one node. It keeps no state: what is mounted and attached is asked
// of the kernel, so every call may be repeated and a restarted process knows all.
type nodeServer struct {
	csi.UnimplementedNodeServer
	folder string
	name   string
}

func (n *nodeServer) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: n.name}, nil
}

func (n *nodeServer) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	types := []csi.NodeServiceCapability_RPC_Type{
		csi.NodeServiceCapability_RPC_STAGE_UNSTAGE_VOLUME,
		csi.NodeServiceCapability_RPC_EXPAND_VOLUME,
		csi.NodeServiceCapability_RPC_GET_VOLUME_STATS,
	}
	response := &csi.NodeGetCapabilitiesResponse{}
	for _, kind := range types {
		response.Capabilities = append(response.Capabilities, &csi.NodeServiceCapability{
			Type: &csi.NodeServiceCapability_Rpc{Rpc: &csi.NodeServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

// NodeStageVolume attaches and mounts the volume once per node. A volume that another node still
// holds is refused; the kubelet tries again until that node lets it go.
func (n *nodeServer) NodeStageVolume(_ context.Context, request *csi.NodeStageVolumeRequest) (*csi.NodeStageVolumeResponse, error) {
	if refusal := refuse([]*csi.VolumeCapability{request.GetVolumeCapability()}); refusal != "" {
		return nil, status.Error(codes.InvalidArgument, refusal)
	}
	path, err := existing(n.folder, request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	if err := stage(path, request.GetStagingTargetPath()); err != nil {
		return nil, failure(err)
	}
	return &csi.NodeStageVolumeResponse{}, nil
}

var errInUse = errors.New("the volume is attached to another node")

func stage(path, target string) error {
	// Two nodes that stage the same volume come one after the other; the lock goes with the file.
	volume, err := os.Open(path)
	if err != nil {
		return err
	}
	defer volume.Close()
	if err := unix.Flock(int(volume.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if device, err := deviceAt(target); err != nil || device != "" {
		return err
	}
	if device, err := loopOf(path); err != nil {
		return err
	} else if device != "" {
		return errInUse
	}
	if err := makeFileSystem(path); err != nil {
		return err
	}
	device, err := attach(path)
	if err != nil {
		return err
	}
	defer device.Close()
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	return unix.Mount(device.Name(), target, fileSystem, 0, "")
}

// makeFileSystem makes xfs in a file that has none, told by the superblock's magic number.
func makeFileSystem(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	magic := make([]byte, 4)
	if _, err := file.ReadAt(magic, 0); err != nil {
		return err
	}
	if string(magic) == "XFSB" {
		return nil
	}
	return run("mkfs.xfs", "-q", path)
}

func (n *nodeServer) NodeUnstageVolume(_ context.Context, request *csi.NodeUnstageVolumeRequest) (*csi.NodeUnstageVolumeResponse, error) {
	if err := unmount(request.GetStagingTargetPath()); err != nil {
		return nil, failure(err)
	}
	return &csi.NodeUnstageVolumeResponse{}, nil
}

func (n *nodeServer) NodePublishVolume(_ context.Context, request *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if err := publish(request.GetStagingTargetPath(), request.GetTargetPath(), request.GetReadonly()); err != nil {
		return nil, failure(err)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func publish(staged, target string, readOnly bool) error {
	if device, err := deviceAt(target); err != nil || device != "" {
		return err
	}
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	if err := unix.Mount(staged, target, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	if readOnly {
		return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
	}
	return nil
}

func (n *nodeServer) NodeUnpublishVolume(_ context.Context, request *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	if err := unmount(request.GetTargetPath()); err != nil {
		return nil, failure(err)
	}
	if err := os.Remove(request.GetTargetPath()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, failure(err)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}

// NodeExpandVolume grows device and file system while pods use them.
func (n *nodeServer) NodeExpandVolume(_ context.Context, request *csi.NodeExpandVolumeRequest) (*csi.NodeExpandVolumeResponse, error) {
	device, err := deviceAt(request.GetVolumePath())
	if err != nil {
		return nil, failure(err)
	}
	if device == "" {
		return nil, status.Errorf(codes.NotFound, "nothing is mounted at %s", request.GetVolumePath())
	}
	if err := grow(device); err != nil {
		return nil, failure(err)
	}
	if err := run("xfs_growfs", request.GetVolumePath()); err != nil {
		return nil, failure(err)
	}
	return &csi.NodeExpandVolumeResponse{}, nil
}

func (n *nodeServer) NodeGetVolumeStats(_ context.Context, request *csi.NodeGetVolumeStatsRequest) (*csi.NodeGetVolumeStatsResponse, error) {
	var stats unix.Statfs_t
	if err := unix.Statfs(request.GetVolumePath(), &stats); err != nil {
		return nil, status.Errorf(codes.NotFound, "%s: %v", request.GetVolumePath(), err)
	}
	block := int64(stats.Bsize)
	return &csi.NodeGetVolumeStatsResponse{Usage: []*csi.VolumeUsage{
		{
			Unit:      csi.VolumeUsage_BYTES,
			Total:     int64(stats.Blocks) * block,
			Available: int64(stats.Bavail) * block,
			Used:      int64(stats.Blocks-stats.Bfree) * block,
		},
		{
			Unit:      csi.VolumeUsage_INODES,
			Total:     int64(stats.Files),
			Available: int64(stats.Ffree),
			Used:      int64(stats.Files - stats.Ffree),
		},
	}}, nil
}

// unmount is content when nothing is mounted there.
func unmount(target string) error {
	err := unix.Unmount(target, 0)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// deviceAt is the device mounted exactly at a path in this process's mount namespace; empty when
// there is none.
func deviceAt(target string) (string, error) {
	table, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return "", err
	}
	defer table.Close()
	device := ""
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		mount, source, found := strings.Cut(lines.Text(), " - ")
		fields := strings.Fields(mount)
		sourceFields := strings.Fields(source)
		// The last mount at a path is the one on top.
		if found && len(fields) > 4 && len(sourceFields) > 1 && fields[4] == target {
			device = sourceFields[1]
		}
	}
	return device, lines.Err()
}

func run(program string, arguments ...string) error {
	output, err := exec.Command(program, arguments...).CombinedOutput()
	if err != nil {
		return errors.New(program + ": " + err.Error() + ": " + strings.TrimSpace(string(output)))
	}
	return nil
}

func failure(err error) error {
	if errors.Is(err, errInUse) {
		return status.Error(codes.FailedPrecondition, err.Error())
	}
	return status.Error(codes.Internal, err.Error())
}

package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// mkfs.xfs makes nothing smaller.
	smallestBytes = 300 << 20
	// The device has whole blocks of the file system's size.
	blockBytes = 4096
)

// controller makes, grows and deletes the files of volumes. It keeps no state but the files, so
// every call may be repeated.
type controller struct {
	csi.UnimplementedControllerServer
	folder string
}

func (c *controller) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	types := []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME,
		csi.ControllerServiceCapability_RPC_EXPAND_VOLUME,
	}
	response := &csi.ControllerGetCapabilitiesResponse{}
	for _, kind := range types {
		response.Capabilities = append(response.Capabilities, &csi.ControllerServiceCapability{
			Type: &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: kind}},
		})
	}
	return response, nil
}

// CreateVolume makes a sparse file; the first node that stages it makes the file system. The id
// is the name that the provisioner derives from the claim, which makes a repeated call find the
// first one's file.
func (c *controller) CreateVolume(_ context.Context, request *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	if request.GetVolumeContentSource() != nil {
		return nil, status.Error(codes.InvalidArgument, "volumes are made empty: there are no snapshots and no clones")
	}
	if refusal := refuse(request.GetVolumeCapabilities()); refusal != "" {
		return nil, status.Error(codes.InvalidArgument, refusal)
	}
	size, err := size(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	path, err := file(c.folder, request.GetName())
	if err != nil {
		return nil, err
	}
	there, err := os.Stat(path)
	switch {
	case err == nil && there.Size() != size:
		return nil, status.Errorf(codes.AlreadyExists, "volume %s has %d bytes, not %d", request.GetName(), there.Size(), size)
	case errors.Is(err, fs.ErrNotExist):
		err = create(path, size)
	}
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.CreateVolumeResponse{Volume: &csi.Volume{
		VolumeId:      request.GetName(),
		CapacityBytes: size,
		VolumeContext: request.GetParameters(),
	}}, nil
}

// create makes the file under its name only when it has its size.
func create(path string, size int64) error {
	made, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer made.Close()
	if err := made.Truncate(size); err != nil {
		return err
	}
	return os.Rename(made.Name(), path)
}

func (c *controller) DeleteVolume(_ context.Context, request *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	path, err := file(c.folder, request.GetVolumeId())
	if err != nil {
		// A name that cannot be a volume of ours is gone already.
		return &csi.DeleteVolumeResponse{}, nil
	}
	device, err := loopOf(path)
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	if device != "" {
		return nil, status.Errorf(codes.FailedPrecondition, "volume %s is attached as %s", request.GetVolumeId(), device)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.DeleteVolumeResponse{}, nil
}

func (c *controller) ValidateVolumeCapabilities(_ context.Context, request *csi.ValidateVolumeCapabilitiesRequest) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if _, err := existing(c.folder, request.GetVolumeId()); err != nil {
		return nil, err
	}
	if refusal := refuse(request.GetVolumeCapabilities()); refusal != "" {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: refusal}, nil
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: request.GetVolumeCapabilities()},
	}, nil
}

// ControllerExpandVolume grows the file; the node that has it attached grows device and file
// system. A volume that is large enough already is left as it is.
func (c *controller) ControllerExpandVolume(_ context.Context, request *csi.ControllerExpandVolumeRequest) (*csi.ControllerExpandVolumeResponse, error) {
	path, err := existing(c.folder, request.GetVolumeId())
	if err != nil {
		return nil, err
	}
	size, err := size(request.GetCapacityRange())
	if err != nil {
		return nil, err
	}
	there, err := os.Stat(path)
	if err == nil && there.Size() < size {
		err = os.Truncate(path, size)
	}
	if err != nil {
		return nil, status.Error(codes.Internal, err.Error())
	}
	return &csi.ControllerExpandVolumeResponse{
		CapacityBytes:         max(size, there.Size()),
		NodeExpansionRequired: true,
	}, nil
}

// size is what to make of a range, in whole blocks.
func size(asked *csi.CapacityRange) (int64, error) {
	bytes := max(asked.GetRequiredBytes(), smallestBytes)
	bytes = (bytes + blockBytes - 1) / blockBytes * blockBytes
	if limit := asked.GetLimitBytes(); limit > 0 && bytes > limit {
		return 0, status.Errorf(codes.OutOfRange, "a volume of at most %d bytes cannot have %d", limit, bytes)
	}
	return bytes, nil
}

// refuse says why a volume cannot be used like this; empty when it can.
func refuse(capabilities []*csi.VolumeCapability) string {
	for _, capability := range capabilities {
		if capability.GetBlock() != nil {
			return "volumes hold a file system: volumeMode Block is not served"
		}
		if kind := capability.GetMount().GetFsType(); kind != "" && kind != fileSystem {
			return "the file system is " + fileSystem + ", not " + kind
		}
		switch capability.GetAccessMode().GetMode() {
		case csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER,
			csi.VolumeCapability_AccessMode_SINGLE_NODE_READER_ONLY:
		default:
			return "a volume is used by one node at a time: the access mode is ReadWriteOnce"
		}
	}
	return ""
}

// file is the path of a volume's file. Errors: the id is none that CreateVolume gives.
func file(folder, id string) (string, error) {
	if id == "" || strings.HasPrefix(id, ".") || strings.ContainsRune(id, filepath.Separator) {
		return "", status.Errorf(codes.InvalidArgument, "%q cannot be a volume's name", id)
	}
	return filepath.Join(folder, id+"."+fileSystem), nil
}

// existing is the path of a volume's file that is there. Errors: NotFound.
func existing(folder, id string) (string, error) {
	path, err := file(folder, id)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", status.Errorf(codes.NotFound, "no volume is called %s: %v", id, err)
	}
	return path, nil
}

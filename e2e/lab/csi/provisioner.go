package main

import (
	"context"
	"fmt"

	"github.com/container-storage-interface/spec/lib/go/csi"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	provisioning "sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"
)

// provisioner answers claims with volumes and deletes volumes that were given back. The loop
// around it is the library that external-provisioner is made of; that program itself needs a newer
// client library than the kubelet of the lab, which would have to be compiled a second time.
type provisioner struct {
	volumes *controller
}

// provision runs until the context ends.
func provision(ctx context.Context, kubeconfig string, volumes *controller) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	provisioning.NewProvisionController(
		ctx,
		client,
		driverName,
		&provisioner{volumes: volumes},
		provisioning.LeaderElection(false),
		// The object stays until the file is gone.
		provisioning.AddFinalizer(true),
	).Run(ctx)
	return ctx.Err()
}

func (p *provisioner) Provision(ctx context.Context, options provisioning.ProvisionOptions) (*core.PersistentVolume, provisioning.ProvisioningState, error) {
	claim := options.PVC.Spec
	capabilities, err := capabilities(claim)
	if err != nil {
		return nil, provisioning.ProvisioningFinished, err
	}
	asked := claim.Resources.Requests[core.ResourceStorage]
	answer, err := p.volumes.CreateVolume(ctx, &csi.CreateVolumeRequest{
		Name:               options.PVName,
		CapacityRange:      &csi.CapacityRange{RequiredBytes: asked.Value()},
		VolumeCapabilities: capabilities,
	})
	if err != nil {
		return nil, provisioning.ProvisioningFinished, err
	}
	mode := core.PersistentVolumeFilesystem
	return &core.PersistentVolume{
		ObjectMeta: meta.ObjectMeta{Name: options.PVName},
		Spec: core.PersistentVolumeSpec{
			AccessModes:                   claim.AccessModes,
			Capacity:                      core.ResourceList{core.ResourceStorage: *resource.NewQuantity(answer.Volume.CapacityBytes, resource.BinarySI)},
			MountOptions:                  options.StorageClass.MountOptions,
			PersistentVolumeReclaimPolicy: *options.StorageClass.ReclaimPolicy,
			VolumeMode:                    &mode,
			PersistentVolumeSource: core.PersistentVolumeSource{CSI: &core.CSIPersistentVolumeSource{
				Driver:       driverName,
				VolumeHandle: answer.Volume.VolumeId,
				FSType:       fileSystem,
			}},
		},
	}, provisioning.ProvisioningFinished, nil
}

// Delete is tried again while a node has the volume attached.
func (p *provisioner) Delete(ctx context.Context, volume *core.PersistentVolume) error {
	_, err := p.volumes.DeleteVolume(ctx, &csi.DeleteVolumeRequest{VolumeId: volume.Spec.CSI.VolumeHandle})
	return err
}

// capabilities are a claim's wishes in CSI's words. Errors: a wish that cannot be met.
func capabilities(claim core.PersistentVolumeClaimSpec) ([]*csi.VolumeCapability, error) {
	if claim.DataSource != nil || claim.DataSourceRef != nil {
		return nil, fmt.Errorf("volumes are made empty: there are no snapshots and no clones")
	}
	if claim.VolumeMode != nil && *claim.VolumeMode == core.PersistentVolumeBlock {
		return nil, fmt.Errorf("volumes hold a file system: volumeMode Block is not served")
	}
	var wishes []*csi.VolumeCapability
	for _, mode := range claim.AccessModes {
		if mode != core.ReadWriteOnce && mode != core.ReadWriteOncePod {
			return nil, fmt.Errorf("a volume is used by one node at a time: access mode %s is not served", mode)
		}
		wishes = append(wishes, &csi.VolumeCapability{
			AccessType: &csi.VolumeCapability_Mount{Mount: &csi.VolumeCapability_MountVolume{FsType: fileSystem}},
			AccessMode: &csi.VolumeCapability_AccessMode{Mode: csi.VolumeCapability_AccessMode_SINGLE_NODE_WRITER},
		})
	}
	return wishes, nil
}

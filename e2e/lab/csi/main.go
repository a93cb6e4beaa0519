// Package main is the lab's storage: a CSI driver whose volumes are files with xfs in them,
// attached as loop devices. (ext4 grows under its users only for a process with CAP_SYS_RESOURCE,
// which test machines may withhold even from root.) The files lie in one folder that all nodes of the lab can reach, so a
// volume behaves like a network disk: any node may attach it, but only one at a time.
//
// One process per node serves the identity and node services and registers itself with the
// kubelet; one process beside the API server answers claims and serves the controller service,
// through which the resizer grows volumes. Not here: snapshots, block volumes, volumes that several nodes write.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	registration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

const (
	driverName    = "volumes.lab.ottla.io"
	driverVersion = "1"
	fileSystem    = "xfs"
)

func main() {
	socket := flag.String("socket", "", "path of the socket to serve CSI on")
	folder := flag.String("volumes", "", "folder of the volumes' files")
	node := flag.String("node", "", "name of the node to serve; without it, the controller service is served")
	kubelet := flag.String("registration", "", "path of the socket on which the kubelet looks for plugins")
	kubeconfig := flag.String("kubeconfig", "", "how to reach the API server; needed by the controller service")
	flag.Parse()
	if err := serve(*socket, *folder, *node, *kubelet, *kubeconfig); err != nil {
		fmt.Fprintln(os.Stderr, "csi:", err)
		os.Exit(1)
	}
}

func serve(socket, folder, node, kubelet, kubeconfig string) error {
	if socket == "" || folder == "" {
		return fmt.Errorf("-socket and -volumes are needed")
	}
	server := grpc.NewServer()
	csi.RegisterIdentityServer(server, &identity{isController: node == ""})
	ended := make(chan error, 2)
	if node == "" {
		volumes := &controller{folder: folder}
		csi.RegisterControllerServer(server, volumes)
		go func() { ended <- listenAndServe(server, socket) }()
		go func() { ended <- provision(context.Background(), kubeconfig, volumes) }()
		return <-ended
	}
	csi.RegisterNodeServer(server, &nodeServer{folder: folder, name: node})
	plugins := grpc.NewServer()
	registration.RegisterRegistrationServer(plugins, &registrar{socket: socket})
	go func() { ended <- listenAndServe(server, socket) }()
	go func() { ended <- listenAndServe(plugins, kubelet) }()
	return <-ended
}

func listenAndServe(server *grpc.Server, socket string) error {
	// A socket that a killed process left behind would refuse the next one.
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		return err
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	return server.Serve(listener)
}

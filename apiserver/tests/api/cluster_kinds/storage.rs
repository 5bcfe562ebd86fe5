//! The group storage.k8s.io.

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case {
        path: "storage.k8s.io/v1/storageclasses",
        object: "provisioner: example.com/disk",
        filled: &[("/reclaimPolicy", "\"Delete\""), ("/volumeBindingMode", "\"Immediate\"")],
        columns: "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
        status: "",
        bad: ("provisioner: ''", "StorageClass.storage.k8s.io \"bad\" is invalid: provisioner: Required value"),
    },
    Case {
        path: "storage.k8s.io/v1/volumeattributesclasses",
        object: "{driverName: example.com, parameters: {iops: '3000'}}",
        filled: &[],
        columns: "Name DriverName Age",
        status: "",
        bad: (
            "driverName: example.com",
            "VolumeAttributesClass.storage.k8s.io \"bad\" is invalid: parameters: Required value: must contain at least one key/value pair",
        ),
    },
    Case {
        path: "storage.k8s.io/v1/csidrivers",
        object: "spec: {}",
        filled: &[("/spec/attachRequired", "true"), ("/spec/volumeLifecycleModes", "[\"Persistent\"]")],
        columns: "Name AttachRequired PodInfoOnMount StorageCapacity TokenRequests RequiresRepublish Modes Age",
        status: "",
        bad: (
            "spec: {fsGroupPolicy: Odd}",
            "CSIDriver.storage.k8s.io \"bad\" is invalid: spec.fsGroupPolicy: Unsupported value: \"Odd\": supported values: \"File\", \"None\", \"ReadWriteOnceWithFSType\"",
        ),
    },
    Case {
        path: "storage.k8s.io/v1/csinodes",
        object: "spec: {drivers: [{name: example.com, nodeID: a, topologyKeys: []}]}",
        filled: &[],
        columns: "Name Drivers Age",
        status: "",
        bad: (
            "spec: {drivers: [{name: example.com, nodeID: ''}]}",
            "CSINode.storage.k8s.io \"bad\" is invalid: spec.drivers[0].nodeID: Required value",
        ),
    },
    Case {
        path: "storage.k8s.io/v1/namespaces/default/csistoragecapacities",
        object: "{storageClassName: fast, capacity: 1024Mi}",
        filled: &[("/capacity", "\"1Gi\"")],
        columns: "Name StorageClassName Capacity",
        status: "",
        bad: (
            "{storageClassName: fast, capacity: '-1'}",
            "CSIStorageCapacity.storage.k8s.io \"bad\" is invalid: capacity: Invalid value: \"-1\": must be greater than or equal to 0",
        ),
    },
    Case {
        path: "storage.k8s.io/v1/volumeattachments",
        object: "spec: {attacher: example.com, nodeName: a, source: {persistentVolumeName: pv}}",
        filled: &[],
        columns: "Name Attacher PV Node Attached Age",
        status: "{attached: true}",
        bad: (
            "spec: {attacher: example.com, nodeName: a, source: {}}",
            "VolumeAttachment.storage.k8s.io \"bad\" is invalid: spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
        ),
    },
];

# The root file system in the archive $image as a container image of one layer: an archive that `podman load` reads, and
# `docker load` by its manifest.json. https://github.com/opencontainers/image-spec (image-layout.md, config.md)
blobs=oci/blobs/sha256
mkdir -p $blobs

# add FILE: makes it a blob and prints its descriptor but for the media type.
add() {
    local digest
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    jq --null-input --compact-output --arg digest "sha256:$digest" --argjson size "$(stat -c %s "$1")" '{$digest, $size}'
    mv "$1" "$blobs/$digest"
}

phase "compressing"
content=$(sha256sum "$image/root.tar" | cut -d' ' -f1)
gzip --no-name --fast < "$image/root.tar" > layer
layer=$(add layer)

phase "describing"
jq --null-input --compact-output --arg content "sha256:$content" --arg architecture "$architecture" --arg role "$role" \
    --arg identity "$identity" '{
        $architecture,
        os: "linux",
        config: {
            Cmd: ["/sbin/init"],
            StopSignal: "SIGRTMIN+3",
            Labels: {"immutable.compose.role": $role, "immutable.compose.identity": $identity}
        },
        rootfs: {type: "layers", diff_ids: [$content]}
    }' > config
config=$(add config)
jq --null-input --compact-output --argjson config "$config" --argjson layer "$layer" '{
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: ({mediaType: "application/vnd.oci.image.config.v1+json"} + $config),
        layers: [{mediaType: "application/vnd.oci.image.layer.v1.tar+gzip"} + $layer]
    }' > manifest
manifest=$(add manifest)

echo '{"imageLayoutVersion":"1.0.0"}' > oci/oci-layout
jq --null-input --compact-output --argjson manifest "$manifest" --arg name "$reference" '{
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [{mediaType: "application/vnd.oci.image.manifest.v1+json"} + $manifest
            + {annotations: {"org.opencontainers.image.ref.name": $name}}]
    }' > oci/index.json
jq --null-input --compact-output --argjson config "$config" --argjson layer "$layer" --arg name "$reference" \
    'def blob: "blobs/" + (.digest | sub(":"; "/")); [{Config: $config | blob, RepoTags: [$name], Layers: [$layer | blob]}]' \
    > oci/manifest.json

phase "packing"
tar --create --file "$out/oci.tar" --directory oci --sort=name --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX \
    --mtime=@0 --format=ustar blobs index.json manifest.json oci-layout

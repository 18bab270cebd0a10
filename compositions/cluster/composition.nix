# Machines that carry nodes of other deployments, folded onto them: what containers and a network over several machines need.
{ ... }:
{
  roles.machine = {
    description = "Carries nodes of other deployments";
    kernel = "linux-image-cloud-amd64";
    packages = [ "netcat-openbsd" "squashfs-tools" "systemd-container" ];
  };

  rolesDistribution.machine = 2;

  testScript = ''
    start_all()
    for machine in machines:
        machine.succeed("systemd-nspawn --version")
        machine.succeed("unshare --net ip link add one type vxlan id 1 dstport 4789")
  '';
}

# Three web servers; what they serve is in the image.
{ ... }:
{
  roles.web = {
    packages = [ "python3" ];
    files."/srv/www/index.html".text = "hello\n";
    units."web.service".text = ''
      [Service]
      ExecStart=/usr/bin/python3 -m http.server --directory /srv/www 8080

      [Install]
      WantedBy=multi-user.target
    '';
    ports = [ 8080 ];
  };
  rolesDistribution.web = 3;
}

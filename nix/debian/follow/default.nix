# role → the same, with what makes its directories follow their git repositories, said by what every role may say.
role:
let
  inherit (builtins) all attrNames attrValues concatStringsSep filter isAttrs isString listToAttrs map readFile replaceStrings stringLength substring toJSON;

  follow = role.follow or { };
  # What is of the wrong type is left to those who say so.
  valid = isAttrs follow && all isAttrs (attrValues follow) && isString (role.postInstall or "")
    && all (name: isAttrs (role.${name} or { })) [ "files" "units" ];

  # As systemd-escape does.
  instance = path: "compose-follow@${replaceStrings [ "-" "/" ] [ "\\x2d" "-" ] (substring 1 (stringLength path) path)}";
  pulled = filter (path: isString (follow.${path}.every or null)) (attrNames follow);

  file = mode: text: { inherit mode text; };
in
if follow == { } || !valid then removeAttrs role [ "follow" ] else removeAttrs role [ "follow" ] // {
  files = role.files or { } // {
    "/usr/lib/compose/follow" = file "0755" (readFile ./follow);
    "/usr/lib/compose/follow.json" = file "0644" (toJSON follow);
    "/usr/lib/systemd/system/compose-follow@.service" = file "0644" (readFile ./compose-follow.service);
  };
  units = role.units or { } // listToAttrs (map (path: { name = "${instance path}.service"; value = { }; }) pulled)
    // listToAttrs (map (path: {
      name = "${instance path}.timer";
      value.text = ''
        [Unit]
        Description=Look for what ${path} follows

        [Timer]
        OnUnitInactiveSec=${follow.${path}.every}
        AccuracySec=1s

        [Install]
        WantedBy=timers.target
      '';
    }) pulled);
  # First: what the role's own commands write there would never be seen.
  postInstall = concatStringsSep "\n" (map (path: ''
    rm -rf ${path}
    mkdir -p /var/lib/compose/follow${path} $(dirname ${path})
    ln -s /var/lib/compose/follow${path}/current ${path}
  '') (attrNames follow)) + role.postInstall or "";
}

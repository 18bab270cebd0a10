# Numbers of the users and groups of a NixOS configuration, as its own script gives them to those that have none when it boots
# (nixos/modules/config/update-users-groups.pl, with an empty /var/lib/nixos); empty where other programs do that.
{ config, lib }:
let
  inherit (lib) attrValues concatMap filter foldl' head listToAttrs nameValuePair range reverseList;

  enabled = filter (entry: entry.enable or true) (attrValues config.users.users);
  groups = attrValues config.users.groups;

  system = reverseList (range 400 999);
  people = range 1000 29999;

  # Entries with `name` and `number`, null where one is to be given, from `pool` of the entry.
  numbered = pool: entries:
    let
      taken = listToAttrs (concatMap (entry: if entry.number == null then [ ] else [ (nameValuePair (toString entry.number) null) ]) entries);
      give = found: entry:
        let number = if entry.number != null then entry.number else firstFree found.taken (pool entry); in {
          taken = found.taken // { ${toString number} = null; };
          numbers = found.numbers // { ${entry.name} = number; };
        };
    in
    (foldl' give { inherit taken; numbers = { }; } entries).numbers;
  firstFree = taken: numbers: head (filter (number: !(taken ? ${toString number})) numbers);
in
if config.systemd.sysusers.enable or false || config.services.userborn.enable or false
then { }
else {
  users = numbered (user: if user.isSystemUser or false then system else people)
    (map (user: { inherit (user) name; number = user.uid; isSystemUser = user.isSystemUser or false; }) enabled);
  groups = numbered (_: system) (map (group: { inherit (group) name; number = group.gid; }) groups);
}

# shellcheck shell=bash
# What BeeGFS has to know on this node, of the node document: configuration and secret of the daemon $1, and its numbers.
type=$1
node=/run/compose/node.json
store=/var/lib/beegfs/$type
umask 077
mkdir -p /run/beegfs
jq -er .secrets.beegfs $node >/run/beegfs/secret

asks_mgmtd() {
    jq -er '"sysMgmtdHost = " + first(.peers[] | select(.role == "mgmtd")).name' $node
}
{
    echo "connAuthFile = /run/beegfs/secret"
    echo "logType = syslog"
    case $type in
        mgmtd) echo "storeMgmtdDirectory = $store" ;;
        meta) asks_mgmtd && echo "storeMetaDirectory = $store" ;;
        storage) asks_mgmtd && echo "storeStorageDirectory = $store" ;;
        client) asks_mgmtd ;;
    esac
} >"/run/beegfs/$type.conf"

# A server has the number of its node, and so has the target of a storage server. Made once, they stay with the data.
number() {
    [ -s "$store/$1" ] || jq -e .index $node >"$store/$1"
}
case $type in
    mgmtd) mkdir -p "$store" ;;
    meta) mkdir -p "$store" && number nodeNumID ;;
    storage) mkdir -p "$store" && number nodeNumID && number targetNumID ;;
esac

;;; Mounts what the server exports on /data.
(use-modules (gnu) (templates base))
(use-package-modules nfs)

(operating-system
  (inherit base-system)
  (packages (cons nfs-utils base-packages))
  (file-systems
   (cons (file-system
           (device "server:/srv/shared")
           (mount-point "/data")
           (type "nfs")
           (create-mount-point? #t)
           (mount-may-fail? #t)
           (shepherd-requirements '(networking)))
         (operating-system-file-systems base-system))))

;;; What all roles have in common; each inherits from it.
(define-module (templates base)
  #:use-module (gnu)
  #:export (base-system base-services base-packages))

(define base-packages %base-packages)

;; Nodes do not change while they run: they need no guix-daemon.
(define base-services
  (modify-services %base-services (delete guix-service-type)))

(define base-system
  (operating-system
    (host-name "node")                            ;the node document says the real one
    (timezone "Etc/UTC")
    (locale "en_US.utf8")
    (bootloader (bootloader-configuration (bootloader grub-bootloader) (targets '("/dev/vda"))))
    (file-systems (cons (file-system
                          (device (file-system-label "root"))
                          (mount-point "/")
                          (type "ext4"))
                        %base-file-systems))
    (packages base-packages)
    (services base-services)))

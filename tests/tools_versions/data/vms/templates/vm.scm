;;; What all virtual machines of a site have in common: one network interface with an address of its own, and UEFI.
(define-module (templates vm)
  #:use-module (gnu)
  #:use-module (gnu services networking)
  #:use-module (gnu services ssh)
  #:export (vm-system vm-services vm-network))

(define (vm-network parameters)
  (service static-networking-service-type
           (list (static-networking
                  (addresses (list (network-address (device "eth0") (value (assq-ref parameters 'address)))))
                  (routes (list (network-route (destination "default") (gateway (assq-ref parameters 'gateway)))))
                  (name-servers (assq-ref parameters 'name-servers))))))

(define vm-services
  (cons (service openssh-service-type (openssh-configuration (port-number 2222)))
        (modify-services %base-services (delete guix-service-type))))

(define vm-system
  (operating-system
    (host-name "vm")
    (timezone "Europe/Paris")
    (bootloader (bootloader-configuration (bootloader grub-efi-bootloader) (targets '("/boot/efi"))))
    (file-systems (cons* (file-system (device (file-system-label "root")) (mount-point "/") (type "ext4"))
                         (file-system (device (uuid "1234-ABCD" 'fat)) (mount-point "/boot/efi") (type "vfat"))
                         %base-file-systems))
    (services vm-services)))

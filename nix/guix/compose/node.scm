;;; The service of every node: applies the node document before other services start, and prepares data volumes.
(define-module (compose node)
  #:use-module (gnu packages admin)
  #:use-module (gnu packages base)
  #:use-module (gnu packages bash)
  #:use-module (gnu packages guile)
  #:use-module (gnu packages linux)
  #:use-module (gnu services)
  #:use-module (gnu services base)
  #:use-module (gnu services shepherd)
  #:use-module (gnu system file-systems)
  #:use-module (guix gexp)
  #:use-module (srfi srfi-9)
  #:export (compose-node-service-type
            packages-of-nodes
            volume
            volume-mount
            volume->file-system))

;; A data volume: the only place on a node that outlives an image, or (KEEP? is false) room for what need not.
(define-record-type <volume>
  (volume name mount user group mode keep?)
  volume?
  (name volume-name)
  (mount volume-mount)
  (user volume-user)
  (group volume-group)
  (mode volume-mode)
  (keep? volume-keep?))

(define (device volume)
  (string-append "/dev/disk/by-id/virtio-" (volume-name volume)))

(define (volume->file-system volume)
  (file-system
    (device (device volume))
    (mount-point (volume-mount volume))
    (type "ext4")
    (create-mount-point? #t)
    (check? #f)                                   ;compose-volumes did
    (shepherd-requirements '(compose-volumes))))

;; Checks and test scripts are for bash.
(define packages-of-nodes (list bash iproute))

(define apply-program
  (program-file "compose-apply-node"
    (with-extensions (list guile-json-4)
      (with-imported-modules '((compose apply))
        #~(begin
            (use-modules (compose apply))
            (apply-node #:refresh? (equal? (cdr (command-line)) '("refresh"))
                        #:modprobe #$(file-append kmod "/bin/modprobe")
                        #:blkid #$(file-append util-linux "/sbin/blkid")
                        #:mount #$(file-append util-linux "/bin/mount")
                        #:umount #$(file-append util-linux "/bin/umount")
                        #:ip #$(file-append iproute "/sbin/ip")
                        #:dhcp #$(file-append dhcpcd "/sbin/dhcpcd")))))))

(define (prepare-program volumes)
  "Makes a file system on disks that are empty, and lets the others grow to the size of their disk."
  (program-file "compose-prepare-volumes"
    #~(begin
        (define (wait device left)
          (cond ((file-exists? device) #t)
                ((zero? left) (format (current-error-port) "volume: ~a does not appear~%" device) (exit 1))
                (else (usleep 250000) (wait device (- left 1)))))
        (for-each (lambda (device)
                    (wait device 120)
                    (if (zero? (status:exit-val (system* #$(file-append util-linux "/sbin/blkid") "--probe" device)))
                        (begin
                          (system* #$(file-append e2fsprogs "/sbin/e2fsck") "-f" "-p" device)
                          (system* #$(file-append e2fsprogs "/sbin/resize2fs") device))
                        (unless (zero? (system* #$(file-append e2fsprogs "/sbin/mkfs.ext4") "-q" "-L" (basename device) device))
                          (exit 1))))
                  '#$(map device volumes)))))

(define (own-program volumes)
  (program-file "compose-own-volumes"
    (with-imported-modules '((compose owners))
      #~(begin
          (use-modules (compose owners))
          (for-each (lambda (fields)
                      (apply own-volume (append fields (list #:find #$(file-append findutils "/bin/find")
                                                             #:others (delete (car fields) '#$(map volume-mount volumes))))))
                    '#$(map (lambda (volume)
                              (list (volume-mount volume) (volume-user volume) (volume-group volume)
                                    (volume-mode volume) (volume-keep? volume)))
                            volumes))))))

(define (once program)
  #~(lambda _ (zero? (system* #$program))))

(define (shepherd-services volumes)
  `(,(shepherd-service
      (documentation "Apply the node document.")
      (provision '(compose-node networking))
      (requirement '(root-file-system host-name))
      (one-shot? #t)
      (start (once apply-program)))
    ,@(if (null? volumes)
          '()
          (list (shepherd-service
                 (documentation "Make file systems on the disks of data volumes, check them, let them grow.")
                 (provision '(compose-volumes))
                 (requirement '(udev))
                 (auto-start? #f)                 ;where nothing is mounted, there are no disks
                 (one-shot? #t)
                 (start (once (prepare-program volumes))))
                (shepherd-service
                 (documentation "Set the owners of data volumes.")
                 (provision '(compose-owners))
                 (requirement '(file-systems))
                 (one-shot? #t)
                 (start (once (own-program volumes))))))))

;; The value is the list of data volumes.
(define compose-node-service-type
  (service-type
   (name 'compose-node)
   (description "Apply the node document before other services start; prepare data volumes.")
   (extensions
    (list (service-extension shepherd-root-service-type shepherd-services)
          (service-extension user-processes-service-type
                             (lambda (volumes) (if (null? volumes) '(compose-node) '(compose-node compose-owners))))
          (service-extension special-files-service-type
                             (const `(("/usr/lib/compose/apply-node" ,apply-program))))))))

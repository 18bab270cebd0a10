;;; Makes an operating system of a role out of one that was written for some machine: with the service of (compose node), with
;;; the data volumes of the role, with network and SSH keys of the node document.  What it has itself is extended.
(define-module (compose role)
  #:use-module (compose load)
  #:use-module (compose network)
  #:use-module (compose node)
  #:use-module (compose numbers)
  #:use-module (compose ssh)
  #:use-module (gnu bootloader)
  #:use-module (gnu image)
  #:use-module (gnu services)
  #:use-module (gnu system)
  #:use-module (gnu system file-systems)
  #:use-module (gnu system image)
  #:use-module (guix gexp)
  #:use-module (guix i18n)
  #:use-module (guix monads)
  #:use-module (guix packages)
  #:use-module (guix store)
  #:use-module (srfi srfi-1)
  #:export (role system-in))

(define (with-special-files services)
  "One service for special files, which that of the node extends; of two that have the same file, the first has it."
  (define (special? service) (eq? (service-kind service) special-files-service-type))
  (define (same? one other) (string=? (first one) (first other)))
  (let ((files (append-map service-value (filter special? services))))
    (cons (service special-files-service-type (delete-duplicates files same?))
          (remove special? services))))

(define (with-packages packages)
  "What nodes need beside PACKAGES: two versions of a package cannot be in one profile."
  (define (name entry)
    (let ((package (if (pair? entry) (first entry) entry)))
      (and (package? package) (package-name package))))
  (let ((names (filter-map name packages)))
    (append (remove (lambda (package) (member (package-name package) names)) packages-of-nodes)
            packages)))

(define (with-numbers os)
  "The same, which says which numbers its users and groups have."
  (operating-system
    (inherit os)
    (services (cons (simple-service 'compose-numbers system-service-type
                                    (with-monad %store-monad
                                      (return `(("compose-numbers" ,(plain-file "compose-numbers" (numbers os)))))))
                    (operating-system-user-services os)))))

(define (with-volumes file-systems volumes)
  (append (map volume->file-system volumes)
          (remove (lambda (file-system)
                    (member (file-system-mount-point file-system) (map volume-mount volumes)))
                  file-systems)))

(define (boots-with-efi? os)
  (string-prefix? "grub-efi"
                  (symbol->string (bootloader-name (bootloader-configuration-bootloader (operating-system-bootloader os))))))

(define* (system-in file #:optional variable)
  "What FILE returns, or the VARIABLE that it defines."
  (load-value file '((gnu system) (gnu services) (gnu system shadow) (compose setup)) variable))

(define* (role source volumes #:optional efi-type)
  "The operating system SOURCE, or that in the file SOURCE, for a node of a deployment.  VOLUMES is a list of (NAME MOUNT USER
GROUP MODE KEEP?).  EFI-TYPE is what images are instead whose boot loader is one for UEFI."
  (let* ((value (if (string? source) (system-in source) source))
         (os (if (image? value) (image-operating-system value) value))
         (volumes (map (lambda (fields) (apply volume fields)) volumes)))
    (unless (operating-system? os)
      (give-up (G_ "'~a' does not return an operating system, or an image of one") source))
    (let ((node (with-numbers
                 (operating-system
                   (inherit os)
                   (packages (with-packages (operating-system-packages os)))
                   (file-systems (with-volumes (operating-system-file-systems os) volumes))
                   (services (cons (service compose-node-service-type volumes)
                                   (with-special-files
                                    (with-ssh-of-node
                                     (with-network-of-node (operating-system-user-services os))))))))))
      (if (and efi-type (boots-with-efi? os))
          (os->image node #:type (lookup-image-type-by-name (string->symbol efi-type)))
          node))))

;;; Which numbers the users and groups of an operating system get when it boots, of which none is written down then.
(define-module (compose numbers)
  #:use-module (gnu build accounts)
  #:use-module (gnu services)
  #:use-module (gnu system)
  #:use-module (gnu system accounts)
  #:use-module (gnu system shadow)
  #:use-module (srfi srfi-1)
  #:use-module (srfi srfi-71)
  #:export (numbers))

(define (numbers os)
  "Lines `user NAME NUMBER' and `group NAME NUMBER'."
  (let* ((both (service-value (fold-services (operating-system-services os) #:target-type account-service-type)))
         (groups users _ (user+group-databases (delete-duplicates (filter user-account? both))
                                               (delete-duplicates (filter user-group? both) eq?)
                                               #:current-groups '() #:current-passwd '() #:current-shadow '())))
    (string-concatenate
     (append (map (lambda (user)
                    (format #f "user ~a ~a~%" (password-entry-name user) (password-entry-uid user)))
                  users)
             (map (lambda (group)
                    (format #f "group ~a ~a~%" (group-entry-name group) (group-entry-gid group)))
                  groups)))))

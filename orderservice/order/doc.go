// Package order is the life of a food order as two functions: Decide says what happens when an order is given a command,
// and Apply what the order is after it happened.
//
// It promises that whatever Decide allowed can be applied; that fulfilment and payment only take the ways of the table
// below; and that in every state the sum of the lines is the total, total <= authorized once something is authorized,
// and refunded + open refund <= captured <= authorized. It does no input or output and reads no clock. It does not know
// the menu or the customers: prices are taken from the command and frozen in the event.
//
// An order moves on two axes. Refunds, tips and ratings never move fulfilment.
//
//	command              fulfilment before               events                               fulfilment after  payment after
//	Place                -                               OrderPlaced                          placed            none
//	AuthorizePayment     placed                          PaymentAuthorized(total)             confirmed         authorized
//	FailPayment          placed                          PaymentFailed                        placed            failed
//	Accept               confirmed                       OrderAccepted                        accepted          authorized
//	Reject               confirmed                       OrderRejected, PaymentVoided         rejected          voided
//	Amend                confirmed, accepted             OrderLinesChanged                    unchanged         authorized
//	MarkItemUnavailable  confirmed, accepted             OrderLinesChanged                    unchanged         authorized
//	StartPreparing       accepted                        PreparationStarted                   preparing         authorized
//	MarkReady            preparing                       OrderReady                           ready             authorized
//	Dispatch             ready, delivery                 OrderDispatched                      in_delivery       authorized
//	Collect              ready, pickup                   OrderCollected, PaymentCaptured      completed         captured
//	ConfirmDelivery      in_delivery                     OrderDelivered, PaymentCaptured      completed         captured
//	FailDelivery         in_delivery                     DeliveryFailed, PaymentCaptured      delivery_failed   captured
//	Cancel               placed                          OrderCancelled                       cancelled         none or failed
//	Cancel               confirmed, accepted             OrderCancelled, PaymentVoided        cancelled         voided
//	Cancel, by kitchen   preparing                       OrderCancelled, PaymentCaptured(fee) cancelled         captured
//	or support
//	Expire               placed                          OrderExpired                         expired           none or failed
//	Expire               confirmed                       OrderExpired, PaymentVoided          expired           voided
//	RequestRefund        terminal, something captured,   RefundRequested                      unchanged         unchanged
//	                     no refund open
//	IssueRefund          refund open                     RefundIssued(what was asked for)     unchanged         partially_refunded or
//	                                                                                                            refunded
//	DenyRefund           refund open                     RefundDenied                         unchanged         unchanged
//	AddTip               completed                       TipAdded                             unchanged         unchanged
//	Rate                 completed, once                 OrderRated                           unchanged         unchanged
//
// A payment that failed may be tried again, until the order is cancelled or expires.
//
// Money is reserved once, for the total at that time. An amendment may make an order cheaper, or dearer again up to what
// was reserved, but never asks for more: who wants more places another order. So no order waits for a second
// authorization half-way, and what is captured was always promised before.
//
// A failed delivery is paid for, because the kitchen has cooked it; a refund may follow. A fee that rounds to nothing is
// not captured, and the payment is voided.
package order
